curl -X GET "https://linkit.works/api/v1/telemetry" \
-H "Authorization: your_api_key_here"
